/**
 * Run once in a new state, with `call`, `pcall` and `sha1hex` as arguments. Leaves scripts what Redis (Lua 5.1) and this
 * Lua (5.4) share: what only one of them has is taken away, so that a script that works here works there. Globals can be
 * neither made nor changed, so nothing passes from one script to the next. Returns the table that KEYS and ARGV go into.
 */
export const sandbox = `
local call, pcallReply, sha1hex = ...
local shared = {
  _G = { 'assert', 'error', 'getmetatable', 'ipairs', 'next', 'pairs', 'pcall', 'rawequal', 'rawget', 'select', 'setmetatable',
    'tonumber', 'tostring', 'type', 'xpcall' },
  string = { 'byte', 'char', 'find', 'format', 'gmatch', 'gsub', 'len', 'lower', 'match', 'rep', 'reverse', 'sub', 'upper' },
  table = { 'concat', 'insert', 'remove', 'sort' },
  math = { 'abs', 'ceil', 'floor', 'fmod', 'huge', 'max', 'min', 'modf', 'pi', 'sqrt' },
}
local rawset, setmetatable, type, error, tostring = rawset, setmetatable, type, error, tostring

local locked = {}
local function refuse() error('Attempt to modify a readonly table', 2) end
local function lock(contents)
  local door = setmetatable({}, { __index = contents, __newindex = refuse, __metatable = false })
  locked[door] = true
  return door
end
local function pick(library, names)
  local picked = {}
  for _, name in ipairs(names) do picked[name] = library[name] end
  return picked
end

local globals = pick(_G, shared._G)
for _, name in ipairs({ 'string', 'table', 'math' }) do globals[name] = lock(pick(_G[name], shared[name])) end
globals.rawset = function(target, key, value)
  if locked[target] then refuse() end
  return rawset(target, key, value)
end
-- As Redis does: an error reply that pcall catches is its text.
local function caught(fine, raised, ...)
  if not fine and type(raised) == 'table' and type(raised.err) == 'string' then return false, raised.err end
  return fine, raised, ...
end
local pcall = pcall
globals.pcall = function(...) return caught(pcall(...)) end
getmetatable('').__index = pick(string, shared.string)
getmetatable('').__metatable = false

local function single(field)
  return function(text)
    if type(text) ~= 'string' then return { err = 'ERR wrong number or type of arguments' } end
    return { [field] = text }
  end
end
globals.redis = lock({
  call = call, pcall = pcallReply, sha1hex = sha1hex,
  error_reply = single('err'), status_reply = single('ok'),
})

local environment = _G
local names = {}
for name in pairs(environment) do names[#names + 1] = name end
for _, name in ipairs(names) do rawset(environment, name, nil) end
setmetatable(globals, { __index = function(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end })
globals._G = environment
locked[environment] = true
setmetatable(environment, { __index = globals, __newindex = refuse, __metatable = false })
return globals
`;
