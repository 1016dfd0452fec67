"""What Gradescope and Classroom 50 run for each submission."""
