"""Bars, calendars, panels, and markets with a planted truth."""
