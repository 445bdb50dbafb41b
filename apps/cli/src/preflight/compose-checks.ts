/** The resolved compose model: what the engine would be told, after every variable and merge. */
import type { ComposeModel, ComposeService } from "../docker/compose-model.ts";
import { secretFields } from "../env-file/env-fields.ts";
import { type Check, type Finding, verdict } from "./check.ts";
import type { Facts } from "./facts.ts";

/** Published container port of each application. */
export const applications: Readonly<Record<string, number>> = {
  "puabo-api": 4000,
  "nexus-cos-puaboai-sdk": 3002,
  "nexus-cos-pv-keys": 3041,
};
const dataServices = ["nexus-cos-postgres", "nexus-cos-redis"];
const oneShot = "nexus-cos-migrations";
const volumes = ["postgres_data", "redis_data", "gateway_spool"];

type Look = (service: ComposeService, name: string, model: ComposeModel) => string[];

/** A check that looks at each service; the one-shot is left out where only what keeps running matters. */
function eachService(check: Omit<Check, "find">, look: Look, options: { running?: boolean } = {}): Check {
  return onModel(check, (model) =>
    Object.entries(model.services)
      .filter(([name]) => !options.running || name !== oneShot)
      .flatMap(([name, service]) => look(service, name, model).map((fault) => `${name}: ${fault}`)),
  );
}

function onModel(check: Omit<Check, "find">, faultsOf: (model: ComposeModel, facts: Facts) => string[]): Check {
  const find = (facts: Facts): Finding => {
    if ("fault" in facts.model) return { state: "fail", evidence: facts.model.fault };
    const { model } = facts.model.value;
    return verdict(faultsOf(model, facts), `${Object.keys(model.services).length} services looked at`);
  };
  return { ...check, find };
}

const published = (service: ComposeService): number[] => (service.ports ?? []).map(({ target }) => target);

const shape: readonly Check[] = [
  {
    id: "model.resolves",
    severity: "critical",
    title: "The compose file resolves without a warning",
    proves: "no variable is silently blank",
    fix: "Set the named variables in .env.pf, or mend docker-compose.pf.yml.",
    find: ({ model }) =>
      "fault" in model
        ? { state: "fail", evidence: model.fault }
        : verdict(model.value.warnings, "no warning from docker compose config"),
  },
  onModel(
    {
      id: "model.containers",
      severity: "critical",
      title: "The containers, volumes and network are the documented ones",
      proves: "nothing was renamed: data and addresses are found again",
      fix: "Give every service its name, and keep the volumes and nexus-network.",
    },
    (model) => [
      ...[...Object.keys(applications), ...dataServices, oneShot]
        .filter((name) => model.services[name]?.container_name !== name)
        .map((name) => `no container ${name}`),
      ...volumes.filter((name) => !model.volumes || !(name in model.volumes)).map((name) => `no volume ${name}`),
      ...(model.networks?.["nexus-network"] ? [] : ["no network nexus-network"]),
    ],
  ),
  onModel(
    {
      id: "model.start-order",
      severity: "critical",
      title: "Data services come first, then migrations, then the applications",
      proves: "no application starts on a schema that is not there",
      fix: "Restore depends_on with its conditions.",
    },
    (model) => startOrderFaults(model),
  ),
];

function startOrderFaults({ services }: ComposeModel): string[] {
  const wants = (name: string, on: string, condition: string): string[] =>
    services[name]?.depends_on?.[on]?.condition === condition ? [] : [`${name} does not wait for ${on} (${condition})`];
  return [
    ...dataServices.flatMap((data) => wants(oneShot, data, "service_healthy")),
    ...Object.keys(applications).flatMap((name) => [
      ...dataServices.flatMap((data) => wants(name, data, "service_healthy")),
      ...wants(name, oneShot, "service_completed_successfully"),
    ]),
  ];
}

const exposure: readonly Check[] = [
  eachService(
    {
      id: "model.published-ports",
      severity: "critical",
      title: "Each application publishes its one port",
      proves: "the platform is reachable where it is documented, and private listeners are not",
      fix: "Publish 4000, 3002 and 3041 of the three applications and nothing else.",
    },
    (service, name) => {
      const port = applications[name];
      if (port === undefined) return [];
      const others = published(service).filter((target) => target !== port);
      return [
        ...(published(service).includes(port) ? [] : [`${port} is not published`]),
        ...others.map((target) => `publishes ${target}`),
      ];
    },
  ),
  eachService(
    {
      id: "model.data-ports",
      severity: "critical",
      title: "PostgreSQL, Redis and migrations publish no port",
      proves: "the data is reachable on the private network alone; Docker's published ports pass by the host's firewall",
      fix: "Remove `ports` from the data services; use `docker compose exec` to reach them.",
    },
    (service, name) => (name in applications ? [] : published(service).map((port) => `publishes ${port}`)),
  ),
  onModel(
    {
      id: "model.host-ports-differ",
      severity: "critical",
      title: "No two services want the same port of the host",
      proves: "every container can start",
      fix: "Give PORT, NEXUS_PUABOAI_SDK_PORT and NEXUS_PV_KEYS_PORT different values.",
    },
    (model) => {
      const wanted = Object.values(model.services).flatMap(({ ports = [] }) =>
        ports.flatMap(({ published: port }) => port ?? []),
      );
      return [...new Set(wanted.filter((port, index) => wanted.indexOf(port) !== index))].map(
        (port) => `${port} is wanted twice`,
      );
    },
  ),
  eachService(
    {
      id: "model.private-network",
      severity: "critical",
      title: "Every container has a network of its own",
      proves: "what is not published cannot be reached from outside",
      fix: "Remove `network_mode: host` and `privileged`.",
    },
    (service) => [
      ...(service.network_mode === "host" ? ["uses the host's network"] : []),
      ...(service.privileged ? ["is privileged"] : []),
      ...(service.volumes ?? []).filter(({ source }) => source?.endsWith("docker.sock")).map(() => "mounts the engine's socket"),
    ],
  ),
];

const upkeep: readonly Check[] = [
  eachService(
    {
      id: "model.images-pinned",
      severity: "critical",
      title: "Every image has a version",
      proves: "tomorrow's deployment runs what today's did",
      fix: "Write a tag other than latest, or a digest.",
    },
    ({ image = "" }) => {
      const tag = /:([^/:@]+)(?:@|$)/.exec(image)?.[1];
      return image.includes("@sha256:") || (tag && tag !== "latest") ? [] : [`image ${image || "(none)"} has no version`];
    },
  ),
  eachService(
    {
      id: "model.health-checks",
      severity: "critical",
      title: "Every container that keeps running has a health check",
      proves: "a crash loop or a hung service is seen, at most 30 s and three tries later",
      fix: "Restore `healthcheck` with interval 30s and retries 3.",
    },
    ({ healthcheck }) => {
      if (!healthcheck?.test || healthcheck.disable || healthcheck.test[0] === "NONE") return ["has no health check"];
      return [
        ...(healthcheck.interval === "30s" ? [] : [`interval is ${healthcheck.interval ?? "not set"}`]),
        ...(healthcheck.retries === 3 ? [] : [`retries is ${healthcheck.retries ?? "not set"}`]),
      ];
    },
    { running: true },
  ),
  eachService(
    {
      id: "model.restart",
      severity: "critical",
      title: "Every container that keeps running is restarted",
      proves: "a crash and a reboot mend themselves",
      fix: "Restore `restart: unless-stopped`.",
    },
    ({ restart }) => (restart === "unless-stopped" || restart === "always" ? [] : [`restart is ${restart ?? "not set"}`]),
    { running: true },
  ),
  eachService(
    {
      id: "model.limits",
      severity: "warning",
      title: "Memory and processes of every container are bounded",
      proves: "one service cannot take the machine from the others",
      fix: "Restore mem_limit and pids_limit.",
    },
    ({ mem_limit, pids_limit }) => [...(mem_limit ? [] : ["no mem_limit"]), ...(pids_limit ? [] : ["no pids_limit"])],
  ),
  eachService(
    {
      id: "model.logs",
      severity: "warning",
      title: "Logs are rotated",
      proves: "a chatty day does not fill the disk",
      fix: "Restore logging options max-size and max-file.",
    },
    ({ logging }) => (logging?.options?.["max-size"] && logging.options["max-file"] ? [] : ["logs grow without bound"]),
  ),
];

const hardening: readonly Check[] = [
  eachService(
    {
      id: "model.hardening",
      severity: "critical",
      title: "Containers hold no right that they do not need",
      proves: "a break-in into one stays in one: read-only, no capability, no new privilege",
      fix: "Restore read_only, cap_drop: [ALL] and no-new-privileges.",
    },
    (service) => [
      ...(service.read_only ? [] : ["its root is writable"]),
      ...(service.cap_drop?.includes("ALL") && !service.cap_add?.length ? [] : ["keeps capabilities"]),
      ...(service.security_opt?.some((option) => /^no-new-privileges[:=]true$/.test(option)) ? [] : ["may gain privileges"]),
    ],
  ),
  onModel(
    {
      id: "model.no-secret-in-environment",
      severity: "critical",
      title: "No secret stands in a container's environment",
      proves: "`docker inspect` and crash reports show no secret",
      fix: "Hand the secret over as a file: NAME_FILE=/run/secrets/….",
    },
    (model, { env }) => {
      const secrets = secretFields.flatMap(({ name }) => env?.file.values.get(name) || []);
      return Object.entries(model.services).flatMap(([service, { environment = {} }]) =>
        Object.entries(environment)
          .filter(
            ([name, value]) =>
              value &&
              (secrets.some((secret) => value.includes(secret)) || /(PASSWORD|SECRET|PEPPERS|_KEYS?|_TOKEN)$/.test(name)),
          )
          .map(([name]) => `${service}: ${name} is given as a variable`),
      );
    },
  ),
];

export const composeChecks: readonly Check[] = [...shape, ...exposure, ...upkeep, ...hardening];
