"""Lists known vulnerabilities of the installed versions, from the package index.

`python tests/support/audit.py constraints.txt` ends with 1 where there are some, and with 2
where nothing was checked, which is no good news.
"""

import json
import subprocess
import sys


def main():
    command = [sys.executable, "-m", "pip_audit", "--requirement", sys.argv[1]]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"nothing was checked, as no index was reached: {last}")
        return 2
    checked = [each for each in found if "skip_reason" not in each]
    for each in checked:
        for known in each["vulns"]:
            mended = ", ".join(known["fix_versions"]) or "no version yet"
            print(f"{each['name']} {each['version']}: {known['id']}, mended in {mended}")
    affected = sum(bool(each["vulns"]) for each in checked)
    print(f"of {len(found)} packages {len(checked)} were checked: {affected} with vulnerabilities")
    if unknown := [each["name"] for each in found if "skip_reason" in each]:
        print(f"the index knows nothing of {', '.join(unknown)}")
    return 2 if not checked else int(affected > 0)


if __name__ == "__main__":
    sys.exit(main())
