import { type CounterSeries, type HistogramSeries, type Metrics, openCounter, openHistogram } from "@nexus/telemetry";
import type { Model } from "../catalogue/catalogue.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import { attributes, genAiMetrics, operationNames, ownMetrics, providerNameOf, tokenTypes } from "./gen-ai.ts";

/** What is counted of one attempt. Labels come from the catalogue and from our own codes, never from a client or a provider. */
export interface CallMetrics {
  /** The attempt is not the first of its call. */
  fellBack(model: Model, endpoint: UsageRow["endpoint"]): void;
  ended(model: Model, row: EndedRow, times: AttemptTimes): void;
  /** After the models have changed: series of those that are gone go as well. */
  keepOnly(models: readonly Pick<Model, "id">[]): void;
}

type EndedRow = Pick<
  UsageRow,
  "endpoint" | "stream" | "cachedAnswer" | "outcome" | "errorCode" | "inputTokens" | "outputTokens" | "usageSource" | "cost"
>;

/** Monotonic milliseconds. */
interface AttemptTimes {
  startedAt: number;
  /** `undefined`: nobody was asked. */
  sentAt: number | undefined;
  firstByteAt: number | undefined;
  endedAt: number;
}

/** The series of one model at one endpoint, found once. */
interface Children {
  durations: Map<string, HistogramSeries>;
  firstToken: HistogramSeries;
  input: HistogramSeries;
  output: HistogramSeries;
  overhead: HistogramSeries;
  cost: CounterSeries;
  fallbacks: CounterSeries;
}

export function openCallMetrics({ registry }: Pick<Metrics, "registry">): CallMetrics {
  const all = openAll(registry);
  let children = new WeakMap<Model, Map<UsageRow["endpoint"], Children>>();

  function childrenOf(model: Model, endpoint: UsageRow["endpoint"]): Children {
    const ofModel = children.get(model) ?? new Map<UsageRow["endpoint"], Children>();
    children.set(model, ofModel);
    const known = ofModel.get(endpoint);
    if (known) return known;
    const labels = labelsOf(model, endpoint);
    const made: Children = {
      durations: new Map(),
      firstToken: all.firstToken.of(labels),
      input: all.tokens.of({ ...labels, [attributes.tokenType]: tokenTypes.input }),
      output: all.tokens.of({ ...labels, [attributes.tokenType]: tokenTypes.output }),
      overhead: all.overhead.of(labels),
      cost: all.cost.of(labels),
      fallbacks: all.fallbacks.of(labels),
    };
    ofModel.set(endpoint, made);
    return made;
  }

  function durationOf(model: Model, row: EndedRow, { durations }: Children): HistogramSeries {
    const errorType = errorTypeOf(row);
    const known = durations.get(errorType);
    if (known) return known;
    const labels = labelsOf(model, row.endpoint);
    const made = all.duration.of(errorType === "" ? labels : { ...labels, [attributes.errorType]: errorType });
    durations.set(errorType, made);
    return made;
  }

  return {
    fellBack: (model, endpoint) => childrenOf(model, endpoint).fallbacks.add(1),
    ended(model, row, { startedAt, sentAt, firstByteAt, endedAt }) {
      // Nobody was asked, and nothing consumed.
      if (row.cachedAnswer) return;
      const own = childrenOf(model, row.endpoint);
      durationOf(model, row, own).observe((endedAt - (sentAt ?? startedAt)) / 1000);
      if (sentAt !== undefined && model.upstream) own.overhead.observe((sentAt - startedAt) / 1000);
      if (firstByteAt !== undefined && row.stream) own.firstToken.observe((firstByteAt - startedAt) / 1000);
      if (row.usageSource === "provider" || row.usageSource === "counted") {
        own.input.observe(row.inputTokens);
        if (row.outputTokens > 0) own.output.observe(row.outputTokens);
      }
      if (row.cost > 0n) own.cost.add(Number(row.cost) / 1e9);
    },
    keepOnly: (models) => {
      const ids = new Set(models.map(({ id }) => id));
      for (const one of Object.values(all)) one.keepOnly((labels) => ids.has(String(labels[attributes.requestModel])));
      children = new WeakMap();
    },
  };
}

function openAll(registry: Metrics["registry"]) {
  return {
    duration: openHistogram(registry, genAiMetrics.operationDuration),
    firstToken: openHistogram(registry, genAiMetrics.timeToFirstToken),
    tokens: openHistogram(registry, genAiMetrics.tokenUsage),
    overhead: openHistogram(registry, ownMetrics.overhead),
    cost: openCounter(registry, ownMetrics.cost),
    fallbacks: openCounter(registry, ownMetrics.fallbacks),
  };
}

function labelsOf({ id, provider, upstreamModel, upstream }: Model, endpoint: UsageRow["endpoint"]): Record<string, string> {
  return {
    [attributes.operationName]: operationNames[endpoint] ?? endpoint,
    [attributes.providerName]: providerNameOf(upstream?.settings.baseUrl, provider),
    [attributes.requestModel]: id,
    // As it is configured: what the provider says of itself is not bounded.
    [attributes.responseModel]: upstreamModel,
    [attributes.nexusProvider]: provider,
  };
}

function errorTypeOf({ outcome, errorCode }: EndedRow): string {
  if (errorCode !== null) return errorCode;
  return outcome === "aborted" ? "client_closed" : outcome === "ok" ? "" : outcome;
}
