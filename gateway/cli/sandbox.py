"""``gateway sandbox KEY``: run an integration's fake vendor on this machine."""

from importlib.metadata import entry_points

import click
import uvicorn

GROUP = "gateway.sandboxes"


@click.command()
@click.argument("key")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(1, 65535))
def sandbox(key: str, port: int) -> None:
    """Run the sandbox of the integration KEY: a local fake of the vendor that says no as the vendor does."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if key not in found:
        raise click.UsageError(f"no sandbox {key!r} is installed; there is: {', '.join(sorted(found)) or 'none'}")
    base_url = f"http://127.0.0.1:{port}"
    app = found[key].load().create_app(base_url=base_url)
    click.echo(f"sandbox: {key} at {base_url}; stop with Ctrl-C", err=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
