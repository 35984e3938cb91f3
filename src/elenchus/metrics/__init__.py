"""Metrics: pure functions of counts and arrays, and the statistics that compare them. No files and no models here."""
