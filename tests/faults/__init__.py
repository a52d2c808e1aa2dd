"""Faults on purpose: killed processes, full disks, damaged and hostile files (`make faults`)."""
