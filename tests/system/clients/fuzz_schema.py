"""Has schemathesis ask what the served OpenAPI document says, with what fits it and what does not."""

import subprocess
import sys
import tempfile

CHECKS = ",".join([
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
])
# The stream has no end, the web UI is the master's, and leadership is given away by a test of its own.
EXCLUDED = ["/v2/events", "/", "/ui/", "/v2/leader"]


def main():
    url = "http://%s/openapi.json" % sys.argv[1]
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", url, "--checks", CHECKS, "--seed", "1", "--max-examples", "8",
        "--phases", "examples,coverage,fuzzing", "--request-timeout", "15", "--no-color",
        "--generation-database", "none", "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure",
    ]
    for path in EXCLUDED:
        command += ["--exclude-path", path]
    # It writes down how to repeat what it found, below the folder it runs in.
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(subprocess.run(command, cwd=folder).returncode)


main()
