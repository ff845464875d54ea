"""What surrounds the lessons: start-up, shipped data, checks, figures and live plots.

Nothing in here is part of what the course teaches, and `previous_chapters.py` needs none of it.
"""
