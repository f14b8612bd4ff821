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
from jupyter_server.serverapp import list_running_servers

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, seen or not
}


class Lab:
    """A JupyterLab server of its own on a free loopback port, with nothing of the user's settings."""

    def __init__(self, folder: Path):
        self.token, self.runtime, self.log = secrets.token_hex(16), folder / ".runtime", folder / ".server.log"
        for name, settings in SETTINGS.items():
            file = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(settings))
        names = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
        folders = dict(zip(names, (".config", ".settings", ".workspaces", ".ipython"), strict=True))
        places = {name: str(folder / own) for name, own in folders.items()} | {"JUPYTER_RUNTIME_DIR": str(self.runtime)}
        options = ["--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root", f"--ServerApp.root_dir={folder}"]
        command = [sys.executable, "-m", "jupyterlab", *options, f"--IdentityProvider.token={self.token}"]
        log, env = self.log.open("w"), os.environ | places
        self.process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=folder)

    def url(self, timeout: float = 120) -> str:
        """The server's address, once it answers."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            for server in list_running_servers(str(self.runtime)):
                try:
                    urllib.request.urlopen(f"{server['url']}api/status?token={self.token}", timeout=5).close()
                    return server["url"]
                except OSError:  # it does not answer yet
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


@contextmanager
def lab(folder: Path):
    """A running `Lab`, stopped at the end with its kernels."""
    server = Lab(folder)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)


def evaluate(client: BlockingKernelClient, expression: str, timeout: float = 120):
    """The value of an expression in the kernel, as JSON brings it here. RuntimeError where the kernel raised."""
    code = f"__import__('json').dumps({expression})"
    reply = client.execute("", silent=True, user_expressions={"value": code}, reply=True, timeout=timeout)
    value = reply["content"]["user_expressions"]["value"]
    if value["status"] != "ok":
        raise RuntimeError(f"{value['ename']}: {value['evalue']}")
    return json.loads(eval(value["data"]["text/plain"]))  # the repr of a string of JSON
