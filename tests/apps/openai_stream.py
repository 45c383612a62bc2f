"""The openai client, streaming, with usage at the end of the stream."""

import argparse

import openai

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
args = parser.parse_args()

client = openai.OpenAI(base_url=args.base_url, api_key="test-key", timeout=args.timeout, max_retries=0)
for n in range(args.calls):
    stream = client.chat.completions.create(
        model="gpt-test",
        messages=[{"role": "user", "content": f"question {n}"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
        if chunk.usage:
            print(f" [{chunk.usage.prompt_tokens} in, {chunk.usage.completion_tokens} out]")
