-- Says in the log who enters which room.
module:hook("muc-occupant-joined", function(event)
    module:log("info", "%s entered %s", event.nick, event.room.jid);
end);
