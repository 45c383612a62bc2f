"""Plain httpx: GETs one after the other, or all at once on asyncio."""

import argparse
import asyncio
import os
import signal
import threading

import httpx

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
parser.add_argument("--at-once", action="store_true", help="asyncio, every call at the same time, each with its number as n=")
parser.add_argument("--die-after", type=float, help="SIGKILL to oneself after so many seconds")
args = parser.parse_args()


def one_after_the_other():
    with httpx.Client(timeout=args.timeout) as client:
        for _ in range(args.calls):
            response = client.get(args.url)
            print(response.status_code, response.text)


async def all_at_once():
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=args.timeout, limits=limits) as client:
        calls = (client.get(args.url, params={"n": n}) for n in range(args.calls))
        for response in await asyncio.gather(*calls):
            print(response.status_code, len(response.content))


if args.die_after is not None:
    print("about to die", flush=True)
    threading.Timer(args.die_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
if args.at_once:
    asyncio.run(all_at_once())
else:
    one_after_the_other()
