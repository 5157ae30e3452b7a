"""Admission: who may run now, and the reason when not."""
