"""A common mistake: time.sleep in async code. The answer arrives early and lies unread until the loop is free again."""

import argparse
import asyncio
import time

import httpx

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--block", type=float, default=4.0)
args = parser.parse_args()


async def careless():
    await asyncio.sleep(0.1)  # the request is on its way by then
    time.sleep(args.block)


async def main():
    async with httpx.AsyncClient(timeout=60.0) as client:
        await client.get(args.url)  # the connection is made before anything blocks
        answer, _ = await asyncio.gather(client.get(args.url), careless())
        print(answer.status_code)


asyncio.run(main())
