/** What a provider says that requests cost. */
export type Bills = { requestId: string; nanos: number }[];
