// A certified OpenID provider (npm's oidc-provider) for tests: whoever gives a name is logged in.
// node openid_provider.mjs FOLDER_OF_MODULES, and its settings as JSON on standard input:
//   port, jwks, audience, clients, roles: {name: [role]}
// It prints "ready" when it listens.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const modules = process.argv[2];
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const settings = JSON.parse(readFileSync(0, 'utf8'));
const issuer = `http://127.0.0.1:${settings.port}`;

const claimsOf = (name) => ({
  sub: name,
  email: `${name}@firm.example`,
  email_verified: true,
  roles: settings.roles[name] ?? [],
});

const provider = new Provider(issuer, {
  clients: settings.clients,
  jwks: settings.jwks,
  cookies: { keys: ['of a test'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], roles: ['roles'] },
  scopes: ['openid', 'offline_access', 'email', 'roles'],
  conformIdTokenClaims: false,
  findAccount: async (_, id) => ({ accountId: id, claims: async () => claimsOf(id) }),
  extraTokenClaims: async (_, token) => {
    if (!token.accountId) return undefined;
    const { sub, ...rest } = claimsOf(token.accountId);
    return rest;
  },
  ttl: { AccessToken: settings.lifetime ?? 300, IdToken: 300, Interaction: 300, Session: 3600,
    Grant: 3600, RefreshToken: 3600, DeviceCode: 300, AuthorizationCode: 60 },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'openid email roles',
        audience: settings.audience,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  // Its own way refuses addresses of this machine, where the console of a test is.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
});
provider.on('server_error', (_, error) => console.error(error));
provider.on('backchannel.error', (_, error) => console.error(error));

provider.listen(settings.port, '127.0.0.1', () => console.log('ready'));
