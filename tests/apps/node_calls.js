// GETs one after the other through the proxy of the environment, as agents for proxies do it: CONNECT, then TLS with Node's own trust.
const http = require("node:http");
const https = require("node:https");

const [url, calls] = [new URL(process.argv[2]), Number(process.argv[3] ?? 1)];
const proxy = new URL(process.env.HTTPS_PROXY);

function tunnel() {
    return new Promise((resolve, reject) => {
        const asked = http.request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: url.host });
        asked.on("connect", (_, socket) => resolve(socket)).on("error", reject).end();
    });
}

function get(agent, socket) {
    return new Promise((resolve, reject) => {
        https.get(url, { agent, socket, servername: url.hostname }, (response) => {
            response.setEncoding("utf8");
            let text = "";
            response.on("data", (part) => (text += part)).on("end", () => resolve(`${response.statusCode} ${text}`));
        }).on("error", reject);
    });
}

(async () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const socket = await tunnel();
    for (let call = 0; call < calls; call++) {
        console.log(await get(agent, socket));
    }
    agent.destroy();
})();
