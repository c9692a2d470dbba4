"""The gateway's tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts this in the background has it ignored, and every program under test would be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
