"""For instructors only: builds the notebooks, makes releases, and grades."""
