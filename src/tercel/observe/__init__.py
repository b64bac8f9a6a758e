"""Results: what a run log tells, as frames, statistics, a printed summary and one HTML page.

Lives here: everything computed from `model.runlog.RunLog` after a run. Never here: running anything, reading tapes,
or state that a run changes. Called by the drivers (`sim`, `live`), which hand users a `results.Result`, and by `cli`.
Nothing is imported from here, so that `import tercel` stays light.
"""
