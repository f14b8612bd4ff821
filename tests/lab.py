"""A real JupyterLab in a real browser: what the browser tests stand on."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from jupyter_client import BlockingKernelClient

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, seen or not
}


class Lab:
    """A JupyterLab server of its own on a free loopback port, with nothing of the user's settings."""

    def __init__(self, folder: Path, **environment: str):
        self.folder, self.token = folder, secrets.token_hex(16)
        self.runtime = folder / ".runtime"
        for name, settings in SETTINGS.items():
            file = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(settings))
        variables = {
            "JUPYTER_RUNTIME_DIR": self.runtime,
            "JUPYTER_CONFIG_DIR": folder / ".config",
            "JUPYTERLAB_SETTINGS_DIR": folder / ".settings",
            "JUPYTERLAB_WORKSPACES_DIR": folder / ".workspaces",
            "IPYTHONDIR": folder / ".ipython",
            **environment,
        }
        options = ["--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={self.token}", "--no-browser",
                   "--allow-root", f"--ServerApp.root_dir={folder}"]  # fmt: skip
        self.log = folder / ".server.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            cwd=folder,
        )

    def url(self, timeout: float = 120) -> str:
        """The server's address, once it answers."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._process.poll() is None:
            for file in self.runtime.glob("jpserver-*.json"):
                try:
                    url = json.loads(file.read_text())["url"]
                    urllib.request.urlopen(f"{url}api/status?token={self.token}", timeout=5).close()
                    return url
                except (OSError, ValueError, KeyError):
                    pass
            time.sleep(0.2)
        raise TimeoutError(f"JupyterLab did not start: {self.log.read_text()[-2000:]}")

    def notebook_url(self, name: str) -> str:
        """The page of one notebook, alone and without the side bar."""
        return f"{self.url()}doc/tree/{name}?reset&token={self.token}"

    def kernel(self) -> BlockingKernelClient:
        """A client of the newest running kernel; stop its channels after use."""
        files = sorted(self.runtime.glob("kernel-*.json"), key=lambda file: file.stat().st_mtime)
        client = BlockingKernelClient(connection_file=str(files[-1]))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=600)
        return client

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def lab(folder: Path, **environment: str):
    """A running `Lab`, stopped at the end with its kernels."""
    server = Lab(folder, **environment)
    try:
        yield server
    finally:
        server.stop()


def evaluate(client: BlockingKernelClient, expression: str, timeout: float = 120):
    """The value of an expression in the kernel, as JSON brings it here.

    Raises:
        RuntimeError: the kernel raised.
    """
    code = f"__import__('json').dumps({expression})"
    reply = client.execute("", silent=True, user_expressions={"value": code}, reply=True, timeout=timeout)
    value = reply["content"]["user_expressions"]["value"]
    if value["status"] != "ok":
        raise RuntimeError(f"{value['ename']}: {value['evalue']}")
    return json.loads(eval(value["data"]["text/plain"]))  # the repr of a string of JSON
