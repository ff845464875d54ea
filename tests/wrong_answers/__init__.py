"""Wrong answers, as people give them, and a phrase of the hint that each must get.

A module per chapter, as in `course/exercise_checks/`, with a dictionary `WRONG`: number of the
exercise -> list of (old, new, phrase). `old` is a text that stands once in the cells which solve
the exercise in appendix/C-solutions, and is replaced by `new`; with None for `old`, the cells
are replaced by `new` as a whole.
"""
