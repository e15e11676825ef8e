"""Time and memory of the selection of hosts: all of C2DB, and a synthetic database of 100,000.

Prints, for each: structures in, selected and rejected by reason, wall and processor seconds, and
peak memory in MiB. The synthetic database repeats C2DB's rows with other elements: in copy k each
element becomes the one that is k places further in the order of covalent radii, so that bonds stay
bonds and formulas differ.

    python tests/benchmarks/materials.py [--database c2db.db] [--hosts 100000] [--shards 32]
"""

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from ase.data import covalent_radii

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DEFECTPOOL_SHARED", ROOT.parent / "shared"))
ELEMENTS = np.argsort(covalent_radii[1:97], kind="stable") + 1


def synthetic(source: Path, target: Path, hosts: int) -> None:
    """Write a database with as many rows, made of the rows of another one."""
    columns = "numbers, positions, cell, pbc, key_value_pairs"
    shutil.copyfile(source, target)
    place = np.argsort(ELEMENTS)
    with closing(sqlite3.connect(target)) as new:
        rows = new.execute(f"SELECT {columns} FROM systems ORDER BY id").fetchall()
        new.execute("DELETE FROM systems")
        for number in range(hosts):
            copy, row = divmod(number, len(rows))
            old_numbers, positions, cell, pbc, facts = rows[row]
            elements = np.frombuffer(old_numbers, dtype=np.int32)
            numbers = ELEMENTS[(place[elements - 1] + copy) % len(ELEMENTS)].astype(np.int32)
            known = json.loads(facts) | {"uid": f"host-{number:06d}"}
            values = (f"{number:032x}", numbers.tobytes(), positions, cell, pbc, json.dumps(known))
            new.execute(f"INSERT INTO systems (unique_id, {columns}) VALUES (?,?,?,?,?,?)", values)
        new.commit()


def one(database: str, shards: int) -> None:
    """Select all hosts of a database and print the figures; run in a process of its own."""
    from defectpool.config import MaterialsSettings
    from defectpool.materials.select import select_hosts

    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        summary = select_hosts(
            MaterialsSettings(source="database", path=database), shards, Path(out)
        )
        wall = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert summary.seen == summary.selected + sum(summary.rejected.values())
    print(f"structures       {summary.seen:>10}")
    print(f"selected         {summary.selected:>10}")
    for reason, count in summary.rejected.items():
        print(f"  {reason:<15}{count:>10}")
    print(f"wall             {wall:>10.1f} s")
    print(f"processor        {usage.ru_utime + usage.ru_stime:>10.1f} s")
    print(f"peak memory      {usage.ru_maxrss / 1024:>10.0f} MiB")
    print(f"files            {size / 2**20:>10.0f} MiB")


def main() -> None:
    """Measure both databases, each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", type=Path, default=SHARED / "data" / "c2db" / "c2db.db")
    parser.add_argument("--hosts", type=int, default=100_000, help="synthetic hosts; 0: none")
    parser.add_argument("--shards", type=int, default=32)
    parser.add_argument("--one", help="select this database alone, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one, arguments.shards)
        return
    if not arguments.database.is_file():
        print(f"skipped: no database at {arguments.database} (give --database)")
        return
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        databases = [arguments.database]
        if arguments.hosts:
            databases.append(Path(scratch) / "synthetic.db")
            synthetic(arguments.database, databases[-1], arguments.hosts)
        for database in databases:
            print(f"\n{database.name}", flush=True)
            command = [sys.executable, __file__, "--one", str(database)]
            command += ["--shards", str(arguments.shards)]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
