"""An AutoGen AssistantAgent with a tool that asks a service by HTTP, as AutoGen's own first example does."""

import argparse
import asyncio

import httpx
from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelFamily
from autogen_ext.models.openai import OpenAIChatCompletionClient

parser = argparse.ArgumentParser()
parser.add_argument("model_url")
parser.add_argument("tool_url")
parser.add_argument("--tool-timeout", type=float, default=30.0)
parser.add_argument("--model-timeout", type=float, default=30.0)
args = parser.parse_args()


async def lookup(key: str) -> str:
    """Look a key up."""
    async with httpx.AsyncClient(timeout=args.tool_timeout) as client:
        response = await client.get(f"{args.tool_url}/lookup", params={"key": key})
        return response.text


async def main():
    model = OpenAIChatCompletionClient(
        model="gpt-test",
        base_url=args.model_url,
        api_key="test-key",
        timeout=args.model_timeout,
        max_retries=0,
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": False,
            "structured_output": False,
            "family": ModelFamily.UNKNOWN,
        },
    )
    agent = AssistantAgent("support", model_client=model, tools=[lookup], reflect_on_tool_use=True)
    result = await agent.run(task="Where is order 42?")
    print(result.messages[-1].content)
    await model.close()


asyncio.run(main())
