"""Coursework: assignments from text sources, students' copies without solutions, and marks for what comes back.

In reading order: `assignments` (a source becomes a notebook), `students` (solutions taken out), `submissions` (what
came back), `restoring` (its shape mended), `confinement` (where strangers' code runs), `execution` (its cells there),
`job` (what one process is told and leaves), `gradebook` (nbgrader's folder), `autograding` (one submission),
`grades_table`, `grading` (all of them). What grades is nbgrader, an optional extra, `coursework` (Project Jupyter et
al. 2019, "nbgrader: A Tool for Creating and Grading Assignments in the Jupyter Notebook", JOSE 2(11), 32).
"""
