"""Records in raw memory: `records`, `record` and addresses, compiled and interpreted.

Typed and lowered directly, not through @overload: an overload is a function of its own to compile, for every dtype, and
every kernel that uses it links and optimises it again.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable
from numba.np.arrayobj import populate_array

__all__ = ["address_of", "addressof_record", "as_i64", "record", "records"]


def records(address: int, n: int, dtype: np.dtype) -> Any:
    """`n` records of `dtype` that start at `address`; a view, nothing is copied. `dtype` must be a global constant."""
    key = (address, n, id(dtype))
    view: Any = _VIEWS.get(key)
    if view is None:
        size = max(1, int(n) * dtype.itemsize)
        buffer: Any = (ctypes.c_char * size).from_address(int(address))
        if dtype.names is None:
            view = np.frombuffer(buffer, dtype=dtype, count=n)
        else:
            view = np.frombuffer(buffer, dtype=_fields_first(dtype), count=n).view(_FieldRows)
        if len(_VIEWS) > 4096:
            _VIEWS.clear()
        _VIEWS[key] = view
        _VIEWED[id(dtype)] = dtype
    return view


_VIEWS: dict[tuple[int, int, int], Any] = {}
#: Dtypes that keys of _VIEWS name by id: kept, or another dtype might be born with the id of one that died.
_VIEWED: dict[int, np.dtype] = {}


class _FieldRecord(np.record):  # type: ignore[misc]
    """A record in the interpreter. Its fields come before NumPy's own attributes, as they do in compiled code:
    `row.flags` is the field, where np.record gives the memory layout of the scalar."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        try:
            return _field(self, name)
        except ValueError:
            return np.void.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


_field = np.void.__getitem__


class _FieldRows(np.recarray):
    """An array of `_FieldRecord`; np.recarray alone would turn its records into np.record."""

    def __array_finalize__(self, obj: Any) -> None:
        """Leave the dtype as it is."""


def _fields_first(dtype: np.dtype) -> np.dtype:
    """`dtype` with the same layout, whose records, nested ones too, are `_FieldRecord`."""
    if dtype.subdtype is not None:
        return np.dtype((_fields_first(dtype.subdtype[0]), dtype.subdtype[1]))
    if dtype.names is None:
        return dtype
    formats = [_fields_first(dtype[name]) for name in dtype.names]
    offsets = [dtype.fields[name][1] for name in dtype.names]  # type: ignore[index]
    layout = {"names": list(dtype.names), "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}
    return np.dtype((_FieldRecord, np.dtype(layout, align=dtype.isalignedstruct)))  # type: ignore[call-overload]


def record(address: int, dtype: np.dtype) -> Any:
    """The one record of `dtype` at `address`; a view. `dtype` must be a global constant."""
    return records(address, 1, dtype)[0]


def as_i64(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """While lowering: an integer of any width as int64."""
    return context.cast(builder, value, kind, types.int64)


@type_callable(records)
def _type_records(_context: Any) -> Any:
    def typer(address: Any, n: Any, dtype: Any) -> Any:
        return types.Array(dtype.dtype, 1, "C")

    return typer


@lower_builtin(records, types.Integer, types.Integer, types.DType)
def _lower_records(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.return_type)(context, builder)
    address = as_i64(context, builder, args[0], signature.args[0])
    n = as_i64(context, builder, args[1], signature.args[1])
    size = context.get_abi_sizeof(context.get_data_type(signature.return_type.dtype))
    stride = context.get_constant(types.intp, size)
    populate_array(
        array,
        data=builder.inttoptr(address, array.data.type),
        shape=cgutils.pack_array(builder, [n]),
        strides=cgutils.pack_array(builder, [stride]),
        itemsize=stride,
        meminfo=None,
    )
    return array._getvalue()


@type_callable(record)
def _type_record(_context: Any) -> Any:
    def typer(address: Any, dtype: Any) -> Any:
        return dtype.dtype

    return typer


@lower_builtin(record, types.Integer, types.DType)
def _lower_record(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    address = as_i64(context, builder, args[0], signature.args[0])
    return builder.inttoptr(address, context.get_value_type(signature.return_type))


def addressof_record(row: Any) -> Any:
    """The address of a record that lives in raw memory."""
    return int(row.__array_interface__["data"][0])


@type_callable(addressof_record)
def _type_addressof_record(_context: Any) -> Any:
    def typer(row: Any) -> Any:
        return types.int64 if isinstance(row, types.Record) else None

    return typer


@lower_builtin(addressof_record, types.Record)
def _lower_addressof_record(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.ptrtoint(args[0], ir.IntType(64))


def address_of(array: np.ndarray) -> int:
    """The address of an array's first byte; the caller keeps the array alive."""
    return int(array.__array_interface__["data"][0])
