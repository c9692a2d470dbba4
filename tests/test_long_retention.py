"""What ``make lab-days`` tries in large (tests/lab_days.py), in small: days of a gateway, and then no room at all."""

from __future__ import annotations

from pathlib import Path

from gateway.config.model import RetainConfig
from tests.long_retention import METERS, Life, live
from tests.small_disks import KB, ext4

RULE = RetainConfig(days=4, days_min=2, free_mb=1, archive=None, fields_days=4)


def test_a_small_partition_keeps_its_days_and_outlives_a_full_disk(tmp_path: Path) -> None:
    """Four days are kept with room; on a full disk two are, readings are refused by name, and all verifies."""
    life = Life(rule=RULE, days=7, full_days=3, period_s=300, points=3, pack_entries=512)
    with ext4(tmp_path / "image", 24_576 * KB) as disk:
        roomy, full, after = live(disk.path, life)
    assert [lived.report.verdict for lived in (roomy, full, after)] == ["intact"] * 3
    assert 4 <= roomy.kept_days < 4.5
    assert (roomy.refused, roomy.report.pruned > 0) == (0, True)
    assert 2 <= full.kept_days < 4
    assert full.free_bytes < 1 << 20
    assert after.entries > full.entries
    # The commit that finds room is behind the readings of its own group.
    assert after.refused - full.refused <= METERS
