"""The openai client on asyncio: calls one after the other, or all at once."""

import argparse
import asyncio

import openai

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
parser.add_argument("--retries", type=int, default=0)
parser.add_argument("--at-once", action="store_true")
args = parser.parse_args()


async def main():
    async with openai.AsyncOpenAI(
        base_url=args.base_url, api_key="test-key", timeout=args.timeout, max_retries=args.retries
    ) as client:

        async def ask(n):
            answer = await client.chat.completions.create(
                model="gpt-test", messages=[{"role": "user", "content": f"question {n}"}]
            )
            return answer.choices[0].message.content

        if args.at_once:
            answers = await asyncio.gather(*(ask(n) for n in range(args.calls)))
        else:
            answers = [await ask(n) for n in range(args.calls)]
    for answer in answers:
        print(len(answer) if args.at_once else answer)


asyncio.run(main())
