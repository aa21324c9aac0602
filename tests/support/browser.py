"""Opens pages in headless Chromium, for tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver

PROGRAMS = {name: shutil.which(name) or "" for name in ("chromium", "chromedriver")}
MISSING = [name for name, path in PROGRAMS.items() if not path]
needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} on the PATH")
PHONE = 390  # pixels


class Browser:
    """One page at a time."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, width=1200, scheme="light"):
        """Show a file on a screen of this width, in a light or dark scheme."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(path.as_uri())

    def ask(self, script):
        """The value of a JavaScript expression on the page."""
        return self.driver.execute_script(f"return {script}")

    def messages(self):
        """The console's messages since the last call, with warnings."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def pdf(self):
        """The printed page, in base64."""
        return self.driver.execute_cdp_cmd("Page.printToPDF", {})["data"]


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium with its own profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAMS["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless=new", "no-sandbox", "hide-scrollbars", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(PROGRAMS["chromedriver"]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
