/**
 * Which Redis the states live in, and since when. A generation is one run of one server with one history (run id and replication
 * id); the marker key says when it began in this data set. What is older than the marker may have been lost: by a flush, a
 * restart from an old file, a failover to a replica that had not heard of everything.
 *
 * The time that scripts go by is Redis's wall clock, kept from running backwards by an offset in the marker, and from leaping
 * ahead by what the callers' monotonic clocks say has passed since their last call.
 */

/** The first key of every script below. */
export const markerKey = "nexus:limits:generation";

/** A clock that is ahead of the callers' by more than this was stepped. */
const slackMicros = 1_000_000;
/** How long states are kept beyond their use: a step of less than this loses none. */
export const spareMicros = 60_000_000;

/**
 * Opens a script. KEYS[1] marker. ARGV[1] generation of the caller's connection, [2] epoch and [3] time of its last answer, [4]
 * microseconds that passed since. Leaves `now`, `epoch`, `begun` (in the time of `now`) and `begun_wall` (in Redis's time).
 */
export const openGeneration = `
local clock = redis.call('TIME')
local wall = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local epoch, begun, begun_wall, seen, offset
local marker_changed = false
local kept = redis.call('GET', KEYS[1])
if kept then
  local g, e, b, bw, s, o = string.match(kept, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  if g == ARGV[1] then
    epoch, begun, begun_wall, seen, offset = e, tonumber(b), tonumber(bw), tonumber(s), tonumber(o)
  end
end
if not epoch then
  epoch, begun, begun_wall, seen, offset = string.format('%.0f', wall), wall, wall, wall, 0
  marker_changed = true
end
local before = seen + offset
if wall < seen then
  offset = before - wall
  seen = wall
  marker_changed = true
end
local now = wall + offset
local latest = tonumber(ARGV[3]) + tonumber(ARGV[4]) + ${slackMicros}
if ARGV[2] == epoch and now > latest then
  local leap = now - math.max(latest, before)
  if leap > 0 then
    now = now - leap
    offset = offset - leap
    if leap > ${spareMicros} then begun, begun_wall = now, wall end
    marker_changed = true
  end
end
if marker_changed or wall - seen > 100000 then
  redis.call('SET', KEYS[1], string.format('%s %s %.0f %.0f %.0f %.0f', ARGV[1], epoch, begun, begun_wall, wall, offset))
end
`;
