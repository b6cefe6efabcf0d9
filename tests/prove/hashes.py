"""One hash of the answers to many encounters, by the program of a folder and under a setting of a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HASH = """
import hashlib, json, random, sys
from tests.rules.random_encounters import encounters
from tests.rules.shorthand import read
from infusion.services.wire import statement_document

def shuffled(part):
    if isinstance(part, dict):
        names = list(part)
        dice.shuffle(names)
        return {name: shuffled(part[name]) for name in names}
    return [shuffled(each) for each in part] if isinstance(part, list) else part

count, order = int(sys.argv[1]), sys.argv[2]
dice, told = random.Random(order), {}
for begin in range(0, count, 1000):
    rows = list(enumerate(encounters(13 + begin, min(1000, count - begin)), begin))
    if order:
        dice.shuffle(rows)
    for number, document in rows:
        text = json.dumps(statement_document(read(shuffled(document) if order else document)), sort_keys=True)
        told[number] = hashlib.sha256(text.encode()).digest()
print(hashlib.sha256(b"".join(told[number] for number in range(count))).hexdigest())
"""
# Time zone, seed of hashes, and the order in which rows and their fields come; as they are made when empty.
SETTINGS = [
    ("UTC", "0", ""), ("America/New_York", "1", "a"), ("Asia/Kathmandu", "2", ""), ("Pacific/Apia", "random", "b"),
    ("America/Los_Angeles", "7", "c"), ("Australia/Lord_Howe", "99", ""), ("Africa/Casablanca", "12345", "d"),
    ("", "4", "e"),
]  # fmt: skip


def hash_under(setting: tuple[str, str, str], count: int, root: Path = ROOT) -> str:
    zone, seed, order = setting
    done = subprocess.run(
        [sys.executable, "-c", HASH, str(count), order], cwd=root, capture_output=True, text=True, check=True,
        env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
    )  # fmt: skip
    return done.stdout.strip()
