"""The operator: watches Studies and StudySchedules and brings the cluster to where they want it.

Pure modules decide (`schedules`), and say so as values; others watch, carry out and measure.
"""
