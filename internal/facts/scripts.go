package facts

import "github.com/redis/go-redis/v9"

// projectorScripts are the only writers of the projection. KEYS[1] of each is
// the meta hash; all are refused, changing nothing, where Redis is not as the
// projector believes.
type projectorScripts struct{ begin, clear, unlink, start, apply, open, beat *redis.Script }

func newProjectorScripts() projectorScripts {
	return projectorScripts{
		// begin answers with the watermark to go on from, '' where there is
		// none of stream ARGV[1], or where it has a beat from the future: Redis'
		// clock was set back while nobody looked. It closes the gate by taking the
		// epoch away, unless that is ARGV[2]: then another projector keeps it open.
		begin: redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'stream', 'wm', 'epoch', 'beat')
local t = redis.call('TIME')
if m[1] ~= ARGV[1] or not m[2] or m[4] and tonumber(m[4]) > t[1] * 1000000 + t[2] then return '' end
if m[3] ~= ARGV[2] then redis.call('HDEL', KEYS[1], 'epoch', 'beat') end
return m[2]`),
		// clear closes the gate and makes ARGV[1] the one that wipes.
		clear: redis.NewScript(`
redis.call('DEL', KEYS[1])
return redis.call('HSET', KEYS[1], 'wiper', ARGV[1])`),
		// unlink removes KEYS[2…] while ARGV[1] is the one that wipes.
		unlink: redis.NewScript(`
if redis.call('HGET', KEYS[1], 'wiper') ~= ARGV[1] then return 0 end
if #KEYS > 1 then redis.call('UNLINK', unpack(KEYS, 2)) end
return 1`),
		// start ends the wipe of ARGV[1]: a projection of stream ARGV[2] begins.
		start: redis.NewScript(`
if redis.call('HGET', KEYS[1], 'wiper') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'wiper')
redis.call('HSET', KEYS[1], 'stream', ARGV[2], 'wm', '0')
return 1`),
		// apply moves the watermark of stream ARGV[1] from ARGV[2] to ARGV[3]
		// with the values ARGV[4…] of KEYS[2…], or changes nothing. It answers
		// with the watermark, '0' where there is none of that stream.
		apply: redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'stream', 'wm')
if m[1] ~= ARGV[1] or not m[2] then return '0' end
if m[2] ~= ARGV[2] then return m[2] end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 2]) end
redis.call('HSET', KEYS[1], 'wm', ARGV[3])
return ARGV[3]`),
		// open lets the gate see the projection of stream ARGV[1] up to ARGV[2]
		// as epoch ARGV[3], current at ARGV[4] (µs). Rates begin a second later,
		// since nobody knows what was sent in the last one. It answers with the
		// epoch's age (µs), -1 where it can't be opened.
		open: redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'stream', 'wm', 'epoch', 'opened')
if m[1] ~= ARGV[1] or not m[2] or tonumber(m[2]) < tonumber(ARGV[2]) then return -1 end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
redis.call('HSET', KEYS[1], 'beat', ARGV[4])
if m[3] == ARGV[3] and m[4] then return math.max(0, now - m[4]) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'opened', string.format('%.0f', now))
return 0`),
		// beat says that everything up to ARGV[1] was applied at ARGV[3] (µs) in
		// epoch ARGV[2].
		beat: redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'wm', 'epoch')
if m[2] ~= ARGV[2] or not m[1] or tonumber(m[1]) < tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'beat', ARGV[3])
return 1`),
	}
}
