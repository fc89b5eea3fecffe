"""Search in a folder, without a server: the theme would load what it needs for that from elsewhere.

No request leaves the reader's machine, and without the script the theme hides its search.
"""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

ELSEWHERE, HERE = "https://unpkg.com/iframe-worker/shim", "javascripts/iframe-worker.js"


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Take the script from the site's own folder."""
    return output.replace(ELSEWHERE, "../" * page.file.dest_uri.count("/") + HERE)


def on_post_template(output_content: str, *, template_name: str, config: MkDocsConfig) -> str:
    """The same for pages of the theme, such as the one for what is not there."""
    return output_content.replace(ELSEWHERE, HERE)
