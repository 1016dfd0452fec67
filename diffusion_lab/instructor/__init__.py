"""What instructors need and students do not: building the notebooks, and grading."""
