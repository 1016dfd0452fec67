"""What the platforms export and import: names of files, rosters, grades and feedback."""
