"""The mistakes users make that do not compile, each recognised and said in plain words.

A rule is a function of a `Case`: it looks at the compiler's text and the user's syntax tree and gives a `Finding`, or
None when the case is not its own. Nothing here raises or compiles. Called by `strategy.explain` alone.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable

import msgspec

from tercel.strategy.source import Owner, UserFunction, UserSource

__all__ = ["RULES", "SILENT_RULES", "Case", "Finding", "unknown"]

_INSTEAD = (
    "Use plain numbers and arrays, move this work to an actor, or run with jit=False (interpreted, slow, any Python)."
)


class Finding(msgspec.Struct):
    """file, line: where. name: the offending name or construct. what: what is wrong. do: what to do."""

    file: str
    line: int
    name: str
    what: str
    do: str


class Case(msgspec.Struct):
    """What the rules look at. file, line: the innermost place in the user's text that was named; line 0: none."""

    error: Exception
    text: str
    source: UserSource
    file: str
    line: int

    def finding(self, name: str, what: str, do: str, node: ast.AST | None = None, file: str = "") -> Finding:
        main = self.source.main
        line = getattr(node, "lineno", 0) or self.line or (main.node.lineno if main is not None else 0)
        return Finding(file or self.file, line, name, what, do)


# --- words -------------------------------------------------------------------------------------------------------


def _kind(text: str) -> str:
    """The compiler's name of a type, as a user would say it."""
    text = text.strip()
    if match := re.match(r"Literal\[str\]\((.*)\)$", text, re.DOTALL):
        return f"the text '{match[1]}'"
    if match := re.match(r"Optional(?:Type)?\((.*)\)$|OptionalType\[(.*)\]$", text):
        return f"{_kind(match[1] or match[2])} or None"
    for prefix, word in (
        ("unicode_type", "a text"), ("none", "None"), ("Literal[bool]", "a bool"), ("bool", "a bool"),
        ("Literal[int]", "an int"), ("int", "an int"), ("uint", "an int"), ("float", "a float"), ("Record", "a record"),
        ("array", "an array"), ("nestedarray", "an array"), ("list", "a list"), ("reflected list", "a list"),
        ("ListType", "a list"), ("DictType", "a dict"), ("Dict", "a dict"), ("set", "a set"), ("Tuple", "a tuple"),
        ("UniTuple", "a tuple"), ("Module", "a module"), ("omitted", "a default"),
    ):  # fmt: skip
        if text.startswith(prefix):
            return word
    return "an object"


def _near(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 1, 0.6)
    return f" Did you mean `{found[0]}`?" if found else ""


def _listing(owner: Owner) -> str:
    parts = []
    if owner.fields:
        parts.append("fields " + ", ".join(owner.fields))
    if owner.methods and not owner.what.startswith("module"):
        parts.append("methods " + ", ".join(owner.methods))
    return f"{owner.label} ({owner.what}) has: {'; '.join(parts)}." if parts else ""


# --- rules: what users do -----------------------------------------------------------------------------------------


def _never_runs(case: Case) -> Finding | None:
    main = case.source.main
    if main is not None and isinstance(main.node, ast.AsyncFunctionDef):
        what = "a handler is a plain function; an async one would never run."
        return case.finding("async def", what, "Write `def`. What must wait belongs in an actor.", main.node, main.file)
    for function, node in case.source.nodes(ast.Yield, ast.YieldFrom):
        what = "with a yield this becomes a generator, whose body would never run."
        return case.finding("yield", what, "Return instead, and keep what must last in fields.", node, function.file)
    return None


def _text_comparison(case: Case) -> Finding | None:
    for function, node in case.source.nodes(ast.Compare):
        for side in (node.left, *node.comparators):
            if isinstance(side, ast.Constant) and isinstance(side.value, str):
                what = "compares with a text; everything in a handler is a number, so this can never be right."
                do = "Instruments, sides and kinds are ints: compare with an int field or a constant of tercel."
                return case.finding(repr(side.value), what, do, node, function.file)
    return None


def _undeclared(case: Case) -> Finding | None:
    for function, node in case.source.nodes(ast.Attribute):
        if isinstance(node.ctx, ast.Load):
            continue
        owner = case.source.owner(function, node.value)
        if owner is not None and owner.cls is not None and node.attr not in owner.names:
            return _missing(case, function, node, owner)
    return None


def _missing(case: Case, function: UserFunction, node: ast.Attribute, owner: Owner | None) -> Finding:
    name = node.attr
    label = owner.label if owner is not None else ast.unparse(node.value)
    shown = f"{label}.{name}"
    stored = not isinstance(node.ctx, ast.Load)
    if stored and owner is not None and owner.cls is not None:
        what = f"{owner.what} has no field `{name}`; a new attribute cannot be made while running."
        field = name.lstrip("_")
        do = f"Declare it in the class, as in `{field}: float = 0.0`.{_near(name, owner.fields)} {_listing(owner)}"
        if field != name:
            do = f"Names that begin with _ are never fields. {do}"
        return case.finding(shown, what, do, node, function.file)
    what = f"{label} has nothing of the name `{name}`.{_near(name, owner.names) if owner is not None else ''}"
    do = _listing(owner) if owner is not None else ""
    return case.finding(shown, what, do or "Check the spelling.", node, function.file)


_NOWHERE = (
    r"has no attribute '(\w+)'|KeyError: '(\w+)'|Unknown attribute '(\w+)' of type Record|"
    r"Cannot resolve setattr: \(.*\)\.(\w+) = "
)


def _attribute(case: Case) -> Finding | None:
    """A record or module has nothing of a name."""
    if isinstance(case.error, KeyError) and case.error.args:
        name = str(case.error.args[0])
    elif match := re.search(_NOWHERE, case.text):
        name = next(group for group in match.groups() if group)
    else:
        return None
    unsure = None
    for function, node in case.source.nodes(ast.Attribute):
        if node.attr == name:
            owner = case.source.owner(function, node.value)
            if owner is not None and name not in owner.names:
                return _missing(case, function, node, owner)
            unsure = unsure or (function, node, owner)
    return _missing(case, *unsure) if unsure is not None and unsure[2] is None else None


def _undefined(case: Case) -> Finding | None:
    match = re.search(r"(?:name|[Vv]ariable) '([\w.]+)' (?:is not defined|referenced before)", case.text)
    if match is None:
        return None
    name = match[1].split(".")[0]
    stored = False
    for function, node in case.source.nodes(ast.Name):
        if node.id == name and isinstance(node.ctx, ast.Load):
            stored = any(n.id == name and not isinstance(n.ctx, ast.Load) for _, n in case.source.nodes(ast.Name))
            if stored:
                break
            owner = case.source.owner(function, ast.Name(function.arguments[0])) if function.arguments else None
            known = list(case.source.globals_of(function)) + [
                n.id for _, n in case.source.nodes(ast.Name) if not isinstance(n.ctx, ast.Load)
            ]
            hint = _near(name, known)
            if owner is not None and name in owner.names:
                hint = f" Did you mean `{owner.label}.{name}`?"
            do = f"Define it before this line, or in the module above the class.{hint}"
            return case.finding(name, "no variable of that name is defined here.", do, node, function.file)
    what = "is read before it has a value." if stored else "no variable of that name is defined here."
    return case.finding(name, what, "Give it a value on every path that leads to this line.")


def _bad_call(case: Case) -> Finding | None:
    """A method called with arguments that do not fit its signature."""
    match = re.search(r"to signature '\((.*?)\)(?: -> [^\n]*?)?' due to \"?(?:TypeError: )?([^\n\"]*)", case.text)
    if match is None:
        return None
    called = re.search(r"npytypes\.Record'>, '(\w+)'\)", case.text)
    name = called[1] if called else ""
    wanted = re.sub(r": [^,=]+?(?= =|,|$)", "", match[1]).replace(" = ", "=")
    wanted = re.sub(r"^\w+(, )?", "", wanted)
    shown = name or case.source.handler
    for function, node in case.source.nodes(ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == name and node.lineno in (case.line, 0):
            shown = ast.unparse(node.func)
            return case.finding(shown, f"{match[2].strip()}.", f"Call it as {name}({wanted}).", node, function.file)
    return case.finding(shown, f"{match[2].strip()}.", f"It takes ({wanted}).")


def _foreign(case: Case) -> Finding | None:
    """A global that compiled code cannot hold, or a part of a library that it cannot call."""
    if match := re.search(r"Untyped global name '(\w+)':[^\n]*?<class '([\w.]+)'>", case.text):
        what = {
            "type": "a class; objects cannot be made in compiled code.",
            "function": "a plain Python function; compiled code can call it only under `tercel.jit.kernel`, or as a "
            "method of the class.",
            "dict": "a dict; compiled code reads no dicts.",
            "list": "a list; compiled code reads no lists from outside.",
            "builtin_function_or_method": "a Python built-in that reaches outside; it cannot run in compiled code.",
        }.get(match[2], f"an object of type {match[2]}; it cannot be used in compiled code.")
        if match[1] == "super":
            what = "compiled code has no super()."
        do = _INSTEAD
        if match[2] == "type" and match[1] != "super":
            do = f"Declare what must last as an annotated field, as in `x: {match[1]} = {match[1]}(...)`. {_INSTEAD}"
        return case.finding(match[1], what, do)
    if match := re.search(r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'", case.text):
        what = f"{match[2]} is a Python library; it cannot run in compiled code."
        return case.finding(f"{match[2]}.{match[1]}", what, _INSTEAD)
    if match := re.search(r"Use of unsupported NumPy function '([\w.]+)'", case.text):
        return case.finding(match[1], "this function of NumPy cannot run in compiled code.", _INSTEAD)
    if match := re.search(r"Unknown attribute '(\w+)' of type ([^\n]+)", case.text):
        what = f"{_kind(match[2])} has nothing of the name `{match[1]}`."
        return case.finding(match[1], what, "Check what this variable holds: in compiled code it is a plain value.")
    return None


def _wrong_value(case: Case) -> Finding | None:
    """A value stored in a field that cannot hold it."""
    match = re.search(r"Cannot cast (.+?) to (.+?)(?:: [^\n]*)?\n", case.text)
    stored = re.search(r'lowering "\((\w+)\)\.(\w+) = ', case.text)
    if match is None or stored is None:
        return None
    field, kind, name = _kind(match[2]), _kind(match[1]), f"{stored[1]}.{stored[2]}"
    if kind == "None":
        do = "A field cannot be None: use a number that means nothing, such as 0 or math.nan, or a bool field beside."
    elif field == "a record":
        do = f"An indicator stays what it was declared as: call its methods, as in `{name}.update(...)`."
    else:
        do = f"Store {field} here, or declare another field of the right type."
    return case.finding(name, f"the field holds {field if field != 'a record' else 'an indicator'}, not {kind}.", do)


def _two_types(case: Case) -> Finding | None:
    match = re.search(r"Cannot unify (.+?) and (.+?) for '(\$?[\w.]+?)(?:\.\d+)?'", case.text)
    if match is None:
        return None
    name = match[3] if not match[3].startswith("$") else "this value"
    what = f"is sometimes {_kind(match[1])} and sometimes {_kind(match[2])}."
    return case.finding(name, what, "Give it one type on every path; for `nothing yet` use a number such as 0 or -1.")


_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "iadd": "+=",
    "isub": "-=", "imul": "*=", "itruediv": "/=", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "and_": "&", "or_": "|", "xor": "^", "lshift": "<<", "rshift": ">>", "neg": "-", "not_": "not", "contains": "in",
}  # fmt: skip


def _operands(case: Case) -> Finding | None:
    tried = re.finditer(r">>> (\w+)\(([^\n]*)\)\s*\n", case.text)
    match = next((m for m in tried if m[1] not in ("resolve", "_cast")), None)
    if match is None or "exception_match" in case.text:
        return None
    kinds = [_kind(part) for part in _split(match[2])]
    if match[1] in ("getitem", "setitem", "static_getitem", "static_setitem") and len(kinds) > 1:
        if kinds[0] == "an array" and kinds[1] != "an int":
            return case.finding("[ ]", f"an array is indexed by int, not by {kinds[1]}.", "Convert with int(...).")
        if kinds[0] == "a dict":
            return case.finding("dict", "a dict here needs keys of one type and values of one type.", _INSTEAD)
        return case.finding("[ ]", f"{kinds[0]} cannot be indexed by {kinds[1]} here.", _INSTEAD)
    sign = _OPERATORS.get(match[1])
    if sign is not None:
        return case.finding(sign, f"cannot work on {' and '.join(kinds)}.", "Make both sides numbers.")
    what = f"cannot be called with {', '.join(kinds) or 'no arguments'} in compiled code."
    return case.finding(f"{match[1]}()", what, _INSTEAD)


def _split(text: str) -> list[str]:
    """Arguments at the top level of a list of types."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [p for p in [*parts, text[start:]] if p.strip()]


def _called_value(case: Case) -> Finding | None:
    match = re.search(r"No type info available for (\S+) as a callable", case.text)
    if match is None:
        return None
    for function, node in case.source.nodes(ast.Call):
        if node.lineno == case.line:
            what = f"is {_kind(match[1])}, not a function."
            return case.finding(
                ast.unparse(node.func), what, "Drop the brackets, or check the name.", node, function.file
            )
    return None


def _untyped_list(case: Case) -> Finding | None:
    match = re.search(r"Cannot infer the type of variable '(\w+)", case.text)
    if match is None:
        return None
    do = "Use an array field declared in the class, as in `history: np.ndarray = np.zeros(100)`."
    return case.finding(match[1], "what it will hold cannot be told from the text (an empty list or dict).", do)


_CONSTRUCTS: tuple[tuple[tuple[type, ...], str, str], ...] = (
    ((ast.Import, ast.ImportFrom), "import", "Import at the top of the module."),
    ((ast.With, ast.AsyncWith), "with", ""),
    (
        (ast.Try,),
        "try",
        "Test before acting instead, as in `if x != 0:`; an exception stops the run.",
    ),
    ((ast.ExceptHandler,), "except", "Test before acting instead, as in `if x != 0:`; an exception stops the run."),
    ((ast.FormattedValue, ast.JoinedStr), "f-string", ""),
    ((ast.Dict, ast.DictComp), "dict", ""),
    ((ast.Lambda,), "lambda", "Make it a method of the class."),
    ((ast.FunctionDef, ast.AsyncFunctionDef), "def", "Make it a method of the class."),
    ((ast.ClassDef,), "class", ""),
    ((ast.GeneratorExp,), "generator expression", "Write a plain loop."),
    ((ast.ListComp,), "list comprehension", "Write a plain loop over an array."),
    ((ast.Set, ast.SetComp), "set", ""),
    ((ast.Global, ast.Nonlocal), "global", "Keep what changes in annotated fields of the class."),
    ((ast.Delete,), "del", "Fields stay for the whole run; set a value instead."),
    ((ast.Await,), "await", ""),
    ((ast.Starred, ast.keyword), "* or **", "Write the arguments out."),
    ((ast.Raise,), "raise", "Raise a plain exception with a constant text, or set a field."),
)


def _construct(case: Case) -> Finding | None:
    """A piece of Python that has no compiled form, on the line the compiler named or, without one, anywhere."""
    for kinds, name, do in _CONSTRUCTS:
        for function, node in case.source.nodes(*kinds):
            if isinstance(node, ast.keyword) and node.arg is not None:
                continue
            end = node.lineno if hasattr(node, "body") else getattr(node, "end_lineno", node.lineno)
            named = name == "global" and "STORE_GLOBAL" in case.text
            if named or case.line == 0 or (function.file == case.file and node.lineno <= case.line <= end):
                what = "this piece of Python cannot run in compiled code."
                return case.finding(name, what, f"{do} {_INSTEAD}".strip(), node, function.file)
    return None


def unknown(case: Case) -> Finding:
    """What is said when no rule recognises the case: the line, without a guess at the reason."""
    return case.finding(case.source.handler, "something on this line cannot run in compiled code.", _INSTEAD)


#: What would compile and go wrong in silence: found in the text alone.
SILENT_RULES: tuple[Callable[[Case], Finding | None], ...] = (_never_runs, _text_comparison, _undeclared)

#: In the order they are asked; the first that recognises its case speaks.
RULES: tuple[Callable[[Case], Finding | None], ...] = (
    _never_runs,
    _attribute,
    _undefined,
    _bad_call,
    _foreign,
    _wrong_value,
    _two_types,
    _called_value,
    _untyped_list,
    _operands,
    _construct,
)
