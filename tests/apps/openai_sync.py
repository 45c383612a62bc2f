"""The openai client, synchronous, without streaming."""

import argparse

import openai

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
parser.add_argument("--retries", type=int, default=0)
parser.add_argument("--new-client", action="store_true", help="a client built anew for each call")
args = parser.parse_args()


def client():
    return openai.OpenAI(base_url=args.base_url, api_key="test-key", timeout=args.timeout, max_retries=args.retries)


shared = None if args.new_client else client()
for n in range(args.calls):
    answer = (shared or client()).chat.completions.create(
        model="gpt-test", messages=[{"role": "user", "content": f"question {n}"}]
    )
    print(answer.choices[0].message.content)
