// Shows the picture in a browser, and takes it: `node shot.mjs FOLDER OUT`.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const [folder, out] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(folder, 'package.json'))('playwright-core');
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
const page = await browser.newPage({ viewport: { width: 1224, height: 800 } });
page.on('pageerror', (error) => { throw error; });
const body = '<!doctype html><html><body style="margin:0"><div id="root"></div></body></html>';
await page.route('http://picture.invalid/**', (route) => route.fulfill({ contentType: 'text/html', body }));
await page.goto('http://picture.invalid/');
await page.addStyleTag({ path: path.join(folder, 'picture.css') });
await page.evaluate((data) => { window.DATA = JSON.parse(data); }, fs.readFileSync(path.join(folder, 'data.json'), 'utf8'));
await page.addScriptTag({ path: path.join(folder, 'picture.js') });
await page.waitForTimeout(4_000);
await page.locator('#root > div').first().screenshot({ path: out });
await browser.close();
