#!/usr/bin/env python3
"""A delivery status notification, as Python's email reads it: show-report.py FILE.  Fails on any defect; prints its type, its parts, and the fields of the status."""
import email
import email.policy
import sys

with open(sys.argv[1], "rb") as f:
    m = email.message_from_binary_file(f, policy=email.policy.default)


def sound(part):
    assert not part.defects, part.defects
    if isinstance(part.get_payload(), list):
        for p in part.get_payload():
            sound(p)


sound(m)
parts = m.get_payload()
print(m.get_content_type(), m.get_param("report-type"), m["To"], m["Auto-Submitted"], m["Return-Path"])
for part in parts:
    print("part", part.get_content_type())
for group in parts[1].get_payload():
    for name, value in group.items():
        print(name + ": " + " ".join(value.split()))
