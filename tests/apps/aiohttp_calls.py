"""Plain aiohttp: GETs one after the other, or all at once; on asyncio or uvloop."""

import argparse
import asyncio

import aiohttp

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
parser.add_argument("--at-once", action="store_true")
parser.add_argument("--uvloop", action="store_true")
parser.add_argument("--trust-env", action="store_true", help="heed proxy variables")
args = parser.parse_args()


async def call(session, n):
    async with session.get(args.url, params={"n": n}) as response:
        return response.status, await response.text()


async def main():
    timeout = aiohttp.ClientTimeout(total=args.timeout)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=args.trust_env) as session:
        if args.at_once:
            answers = await asyncio.gather(*(call(session, n) for n in range(args.calls)))
        else:
            answers = [await call(session, n) for n in range(args.calls)]
    for status, text in answers:
        print(status, len(text) if args.at_once else text)


if args.uvloop:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
