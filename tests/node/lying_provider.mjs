// An OpenID provider (npm's oauth2-mock-server) whose tokens are wrong on purpose.
// node lying_provider.mjs FOLDER_OF_MODULES, and its settings as JSON on standard input:
//   port, claims: what its tokens say when it does not lie
// It prints "ready" when it listens. What is posted to /lies as JSON holds until the next such post:
//   claims, header: of its tokens, signed with its own key; null leaves one out
//   forged: how its tokens are signed in place of that (one of the names below)
//   redirect: parameters of the answer that it sends the browser back with; null leaves one out
//   discovery: members of its discovery document
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const modules = process.argv[2];
const { OAuth2Server, Events } = await import(
  pathToFileURL(`${modules}/oauth2-mock-server/dist/index.mjs`)
);
const settings = JSON.parse(readFileSync(0, 'utf8'));
const server = new OAuth2Server();
const key = await server.issuer.keys.generate('RS256');
let lies = {};

const encoded = (bytes) => Buffer.from(bytes).toString('base64url');
const published = () =>
  createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });

function forged(token, algorithm, signature) {
  const [header, payload] = token.split('.');
  const said = JSON.parse(Buffer.from(header, 'base64url'));
  const input = `${encoded(JSON.stringify({ ...said, alg: algorithm }))}.${payload}`;
  return `${input}.${encoded(signature(input))}`;
}

const forgeries = {
  'no signature': (token) => forged(token, 'none', () => ''),
  'the public key as a secret': (token) =>
    forged(token, 'HS256', (input) => createHmac('sha256', published()).update(input).digest()),
  'another key': (token) => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return forged(token, 'RS256', (input) => sign('sha256', Buffer.from(input), privateKey));
  },
};

function say(members, told) {
  for (const [name, value] of Object.entries(told ?? {})) {
    if (value === null) delete members[name];
    else members[name] = value;
  }
}

server.service.on(Events.BeforeTokenSigning, (token) => {
  say(token.payload, { ...settings.claims, ...lies.claims });
  say(token.header, lies.header);
});
server.service.on(Events.BeforeResponse, ({ body }) => {
  for (const name of ['id_token', 'access_token']) {
    if (lies.forged && body[name]) body[name] = forgeries[lies.forged](body[name]);
  }
});
server.service.on(Events.BeforeAuthorizeRedirect, ({ url }) => {
  for (const [name, value] of Object.entries(lies.redirect ?? {})) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
});
server.service.on(Events.BeforeWellKnownOpenIdConfiguration, ({ body }) => say(body, lies.discovery));
server.service.addRoute('POST', '/lies', (request, response) => {
  lies = request.body;
  response.end();
});

await server.start(settings.port, '127.0.0.1');
server.issuer.url = `http://127.0.0.1:${settings.port}`;
console.log('ready');
