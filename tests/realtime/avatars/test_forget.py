"""`vivavoce forget`: what nobody may delete over HTTP, whoever runs the server can."""

import asyncio
import dataclasses

from realtime.access.caller import Caller, acting
from realtime.cli import main
from tests.support.uploads import LIMIT_S, enrolled, files, photo, png, video


async def test_an_upload_of_whomever_goes_with_all_that_was_made_of_it(
    library, config, gate, capsys
):
    gate.open()
    swapped = dataclasses.replace(video("Agreed"), source=png(92), consent="I agree")
    with acting(Caller(kind="key", owner="alice")):
        hers = await library.create(photo("Hers"), wait_s=LIMIT_S)
    nobodys = await library.create(swapped, wait_s=LIMIT_S)
    for avatar in (hers, nobodys):
        await enrolled(library, avatar)
        await library.picture(avatar)
    assert "I agree" in (config.data_dir / "avatars" / f"{nobodys.id}.json").read_text()
    library.claim("server on port 1")

    async def forget(name: str) -> tuple[int, str]:
        arguments = ["forget", name, "--data-dir", str(config.data_dir)]
        status = await asyncio.to_thread(main, arguments)
        said = capsys.readouterr()
        return status, said.out + said.err

    status, said = await forget("Hers")
    assert status == 1
    assert "in use by the server on port 1" in said
    await library.close()
    status, said = await forget("amara")
    assert status == 1
    assert "shipped cast" in said
    assert (await forget("nobody"))[0] == 1
    assert await forget("hers") == (0, f"forgot Hers ({hers.id})\n")
    assert await forget(nobodys.id) == (0, f"forgot Agreed ({nobodys.id})\n")
    assert files(config) == set()
