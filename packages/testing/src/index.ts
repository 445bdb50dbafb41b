export { ageChanges } from "./age-changes.ts";
export { captureLogs } from "./capture-logs.ts";
export { createTestDatabase, type TestDatabase } from "./create-test-database.ts";
export { type FakeClock, fakeClock } from "./fake-clock.ts";
export { findFreePort as freePort } from "@nexus/db";
export { type FakeIssuer, startFakeIssuer } from "./start-fake-issuer.ts";
export { type FakePartner, startFakePartner } from "./start-fake-partner.ts";
export { type RawExchange, sendRaw } from "./send-raw.ts";
export { type LyingScript, type LyingUpstream, startLyingUpstream } from "./start-lying-upstream.ts";
export { waitFor } from "./wait-for.ts";
export { type RedisKind, redisKinds, type RedisProcess, startRedisProcess } from "./start-redis-process.ts";
export { startTestRedis } from "./start-test-redis.ts";
export {
  chatAnswer,
  chatStream,
  embeddingAnswer,
  fakeUsage,
  type FakeUpstream,
  htmlError,
  type ReceivedRequest,
  silence,
  startFakeUpstream,
  type UpstreamScript,
} from "./fake-upstream.ts";
export { messagesAnswer, responsesAnswer } from "./fake-events.ts";
export { labelledTexts } from "./labelled-texts.ts";
export { type GatewayScene, openGatewayScene } from "./open-gateway-scene.ts";
export { type KeysScene, openKeysScene, type ScenePerson } from "./open-keys-scene.ts";
export { someKeyRecord } from "./some-key-record.ts";
export { recordTestChange } from "./record-test-change.ts";
export { type FakePvKeys, startFakePvKeys } from "./start-fake-pv-keys.ts";
