"""fenconf: read and change settings of Hallowfen FP probes over the programming cable.

Usage:
    python fenconf.py --device 40117352 get soil
    python fenconf.py --device 40117352 set interval=30

The cable HF-6002 shows up as a serial port at 19200 baud. The probe wakes up
when it sees the break signal and goes back to sleep after 90 seconds without
a command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TOOL_VERSION = "1.6.1"

# Serial line of the programming cable. The probe answers at this speed only.
BAUD_RATE = 19200
# Seconds to wait for an answer before the command is sent again.
REPLY_TIMEOUT_S = 4
# A command is sent at most this many times before the tool gives up.
MAX_TRIES = 3

# Shortest reporting interval in minutes for each model.
MIN_INTERVAL_MIN = {"FP-20": 10, "FP-40": 5, "FP-60": 5}
# Longest interval for all models: 12 hours. Above that the gateway would
# show the probe as lost.
MAX_INTERVAL_MIN = 720

# Soil setting as stored in the probe. "loam" is what leaves the factory.
SOIL_CODES = {
    "sand": 1,
    "sandy_loam": 2,
    "loam": 3,
    "silt_loam": 4,
    "clay": 5,
    "peat": 6,
}

# Writing the calibration offset wears the memory; the probe refuses more
# than 200 writes in its life.
MAX_OFFSET_WRITES = 200
# Offset in percent by volume that the probe accepts, both directions.
OFFSET_LIMIT = 8.0

# Exit status of the tool.
EXIT_OK = 0
EXIT_USAGE = 2
EXIT_NO_CABLE = 3
EXIT_NO_ANSWER = 4
EXIT_REFUSED = 5


class SettingError(ValueError):
    """A setting that the probe would refuse."""


def check_serial(serial: str) -> str:
    """Return the serial number if it has eight digits.

    Serial numbers that start with 4 belong to FP-60 probes, with 3 to
    FP-40 probes and with 2 to FP-20 probes.
    """
    if len(serial) != 8 or not serial.isdigit():
        raise SettingError("the serial number has eight digits")
    return serial


def model_of(serial: str) -> str:
    """Tell the model from the first digit of the serial number."""
    models = {"2": "FP-20", "3": "FP-40", "4": "FP-60"}
    try:
        return models[check_serial(serial)[0]]
    except KeyError:
        raise SettingError(f"no probe has a serial number like {serial}") from None


def check_setting(model: str, name: str, value: str) -> int | float:
    """Check one setting and return the number that is written to the probe."""
    if name == "interval":
        minutes = int(value)
        if not MIN_INTERVAL_MIN[model] <= minutes <= MAX_INTERVAL_MIN:
            raise SettingError(f"interval out of range for {model}: {minutes}")
        return minutes
    if name == "soil":
        if value not in SOIL_CODES:
            raise SettingError(f"unknown soil: {value}")
        return SOIL_CODES[value]
    if name == "offset":
        offset = float(value)
        if abs(offset) > OFFSET_LIMIT:
            raise SettingError("offset must lie between -8 and +8 percent")
        return offset
    raise SettingError(f"unknown setting: {name}")


def exchange(port: Path, command: str) -> str:
    """Send one command over the cable and return the answer of the probe."""
    frame = command.encode("ascii") + b"\r"
    for _ in range(MAX_TRIES):
        with port.open("r+b", buffering=0) as line:
            line.write(frame)
            answer = line.read(64) or b""
        if answer:
            return answer.decode("ascii").strip()
    return ""


def main(argv: list[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    parser = argparse.ArgumentParser(description="settings of FP probes")
    parser.add_argument("--device", required=True, help="serial number, eight digits")
    parser.add_argument("--port", type=Path, default=Path("/dev/ttyUSB0"))
    parser.add_argument("action", choices=["get", "set"])
    parser.add_argument("setting", help="name, or name=value with set")
    args = parser.parse_args(argv)
    try:
        model = model_of(args.device)
        command = f"GET {args.setting}"
        if args.action == "set":
            name, _, value = args.setting.partition("=")
            command = f"SET {name} {check_setting(model, name, value)}"
    except ValueError as error:
        sys.stderr.write(f"fenconf: {error}\n")
        return EXIT_USAGE
    if not args.port.exists():
        sys.stderr.write(f"fenconf: no cable at {args.port}\n")
        return EXIT_NO_CABLE
    answer = exchange(args.port, command)
    if not answer:
        sys.stderr.write("fenconf: the probe does not answer\n")
        return EXIT_NO_ANSWER
    sys.stdout.write(f"{model}: {answer}\n")
    return EXIT_REFUSED if answer.startswith("ERR") else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
