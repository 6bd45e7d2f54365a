"""Commands of those who hold authority: the signer, its policy and wallets, and approvals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FILE = click.Path(dir_okay=False, path_type=Path)
DIRECTORY = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
directory = click.option(
    "--dir",
    "directory",
    type=DIRECTORY,
    help="The signer's own directory (else signer in BEZANT_DATA_DIR).",
)


@click.group(invoke_without_command=True)
@directory
@click.option("--socket", type=FILE, help="Where it listens (else BEZANT_SIGNER_SOCKET).")
@click.option("--group", help="Members of this group reach the socket, if the policy lets them.")
@click.pass_context
def signer(
    context: click.Context, directory: Path | None, socket: Path | None, group: str | None
) -> None:
    """The process that holds keys: signs what its own policy allows. Without a command: runs."""
    context.obj = directory
    if context.invoked_subcommand is None:
        from bezant.environment import load_signer
        from bezant.signer import run

        run(load_signer(directory, socket), _group(group))


def _group(name: str | None) -> int | None:
    import grp

    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise click.BadParameter(f"{name!r} is no group here", param_hint="--group") from None


@signer.command("verify")
@as_json
@click.pass_obj
def verify(directory: Path | None, as_json: bool) -> None:
    """Walks the audit log; exit 1 at the first line that does not follow the one before."""
    from bezant.custody import verify as walk
    from bezant.printing import show

    show(walk(directory), as_json)


@signer.group()
def policy() -> None:
    """What the signer signs. It can be changed on its own machine only."""


@policy.command("apply")
@click.argument("file", type=EXISTING)
@as_json
@click.pass_obj
def policy_apply(directory: Path | None, file: Path, as_json: bool) -> None:
    """Checks FILE (TOML) and puts it in force at once, also in a running signer."""
    from bezant.custody import apply_policy
    from bezant.printing import show

    show(apply_policy(directory, file), as_json)


@policy.command("show")
@click.pass_obj
def policy_show(directory: Path | None) -> None:
    """The policy in force, as it was applied."""
    from bezant.custody import policy_text

    click.echo(policy_text(directory), nl=False)


@click.group()
@directory
@click.pass_context
def wallet(context: click.Context, directory: Path | None) -> None:
    """The signer's wallets, on its own machine. A running signer learns of them when restarted."""
    context.obj = directory


KIND = click.option(
    "--kind", type=click.Choice(["hot", "relayer", "quote"]), default="hot", show_default=True
)
MNEMONIC = click.option(
    "--mnemonic-file", type=EXISTING, help="Derive from this mnemonic (12 to 24 words) instead."
)
INDEX = click.option(
    "--index", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
    help="The last part of m/44'/60'/0'/0/INDEX.",
)  # fmt: skip

VAULT = click.option(
    "--vault", metavar="NAME", help="Keep the key under this Transit key of HashiCorp Vault."
)


@wallet.command("new")
@click.argument("label")
@KIND
@VAULT
@MNEMONIC
@INDEX
@as_json
@click.pass_obj
def wallet_new(
    directory: Path | None,
    label: str,
    kind: str,
    vault: str | None,
    mnemonic_file: Path | None,
    index: int,
    as_json: bool,
) -> None:
    """A new wallet. Without a mnemonic one is made and shown this once: write it down."""
    from bezant import custody
    from bezant.printing import show

    show(custody.new_wallet(directory, label, kind, mnemonic_file, index, vault), as_json)


@wallet.command("import")
@click.argument("label")
@KIND
@click.option("--key", type=EXISTING, help="A keystore file (version 3), or 64 hex digits.")
@VAULT
@click.option("--kms", metavar="KEY_ID", help="A key in AWS KMS: its ARN, id or alias.")
@click.option("--address", help="Watch only: an address whose key is elsewhere (a Safe, say).")
@click.option("--treasury", is_flag=True, help="With --address: it is the treasury.")
@as_json
@click.pass_obj
def wallet_import(
    directory: Path | None,
    label: str,
    kind: str,
    key: Path | None,
    vault: str | None,
    kms: str | None,
    address: str | None,
    treasury: bool,
    as_json: bool,
) -> None:
    """A wallet from elsewhere: by its key, or to be watched by its address."""
    from bezant import custody
    from bezant.printing import show

    if sum(one is not None for one in (key, kms, address)) != 1:
        raise click.UsageError("one of --key, --kms and --address is needed")
    if vault is not None and key is None:
        raise click.UsageError("--vault goes with --key")
    if key is not None:
        show(custody.import_key(directory, label, kind, key, vault), as_json)
    elif kms is not None:
        show(custody.import_kms(directory, label, kind, kms), as_json)
    else:
        role = "treasury" if treasury else "watch"
        show(custody.watch(directory, label, role, str(address)), as_json)


@wallet.command("list")
@click.option("--retired", is_flag=True, help="Also those that were rotated out.")
@as_json
@click.pass_obj
def wallet_list(directory: Path | None, retired: bool, as_json: bool) -> None:
    """Addresses, labels and kinds; never a key."""
    from bezant import custody

    custody.show_wallets(directory, retired, as_json)


@wallet.command("rotate")
@click.argument("label")
@VAULT
@click.option("--kms", metavar="KEY_ID", help="The new key is this one in AWS KMS.")
@MNEMONIC
@INDEX
@as_json
@click.pass_obj
def wallet_rotate(
    directory: Path | None,
    label: str,
    vault: str | None,
    kms: str | None,
    mnemonic_file: Path | None,
    index: int,
    as_json: bool,
) -> None:
    """A new key under the same label, kept where the old one is unless said otherwise. The old one
    signs on while the policy names it: move its money out, then take it from the policy."""
    from bezant import custody
    from bezant.printing import show

    if kms is not None and (vault is not None or mnemonic_file is not None):
        raise click.UsageError("--kms goes without --vault and --mnemonic-file")
    made = custody.rotate(directory, label, mnemonic_file, index, vault=vault, kms=kms)
    show(made, as_json)


@click.command()
@click.argument("payout")
@click.option("--key", required=True, type=EXISTING, help="Your own: keystore file or hex digits.")
@click.option("--url", help="The service (else the sandbox of this machine).")
@click.option("--api-key", envvar="BEZANT_API_KEY", help="A key of that service.")
@click.option("--data-dir", type=DIRECTORY, help="Of the sandbox.")
@click.option("--config", type=FILE, help="Your own bezant.toml: whose names can be believed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def approve(payout: str, as_json: bool, yes: bool, **where: Any) -> None:
    """Shows what PAYOUT pays to whom, signs it with your own key, and hands the approval in."""
    from bezant.approving import run

    run(payout, yes, as_json, **where)


@click.command()
@click.option("--network", required=True, metavar="NET", help="As in bezant.toml: eip155:1.")
@click.option("--owner", metavar="0x...", help="Of the factory: a cold key or a multisig.")
@click.option("--wallet", "label", help="Who pays (else the first that the policy lets).")
@click.option("--config", type=FILE, help="bezant.toml (else BEZANT_CONFIG, else ./bezant.toml).")
@as_json
def deploy(
    network: str, owner: str | None, label: str | None, config: Path | None, as_json: bool
) -> None:
    """Puts our contracts on a network, by a wallet of the signer and the running worker.

    What is there already is left alone: it may be broken off and given again. At the end it says
    the lines for bezant.toml and what remains to be done.
    """
    from bezant.administration import installation
    from bezant.deployed import run

    run(installation(config), network, owner, label, as_json)
