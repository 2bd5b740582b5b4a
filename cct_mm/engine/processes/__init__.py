"""Runs of several processes: how they start, agree, share work and fail."""
