"""Reads OCMF records, one a line; prints for each what pyocmf makes of it, strictly and with the key in argv[1].

A line of JSON each: ``ok`` (the signature fits), ``values`` (the reading values as pyocmf understood them), ``issues``
(calibration law rules that are broken), or ``error``.
"""

import json
import sys

from pyocmf import OCMF
from pyocmf.exceptions import PyOCMFError

for line in sys.stdin:
    try:
        record = OCMF.from_string(line, strict=True)
        found = {
            "ok": record.verify_signature(sys.argv[1]),
            "values": [None if reading.RV is None else str(reading.RV) for reading in record.payload.RD],
            "issues": [issue.code for issue in record.check_eichrecht(errors_only=True)],
        }
    except (PyOCMFError, ValueError) as error:
        found = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))
