"""Evaluation: cases and answers -> rows with outcomes -> figures with intervals, stages and causes."""
