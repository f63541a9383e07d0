package svoykrug.client

import com.google.gson.Gson
import com.google.gson.JsonObject
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The scenario that all clients share: its steps in their order, and what of the one under way has to hold yet. */
class Table {
    val steps: Map<String, Set<String>> = Gson().fromJson(File("../scenario.json").readText(), JsonObject::class.java)["steps"]
        .asJsonArray.map { it.asJsonObject }.associate { it["id"].asString to it["expects"].asJsonObject.keySet() }
    private var step = ""
    private val awaited = mutableSetOf<String>()

    /** Runs a step, which must meet each of its expectations once. */
    suspend fun run(id: String, does: suspend () -> Unit) {
        step = id
        awaited += steps.getValue(id)
        does()
        assertEquals(emptySet(), awaited, "not met in $step")
        println("scenario $step ok (kotlin)")
    }

    /** Tells that an expectation of the step holds, which the table names and which was not told before. */
    fun met(expectation: String) {
        assertTrue(awaited.remove(expectation), "$expectation is not expected of $step, or was met before")
        println("scenario $step.$expectation ok (kotlin)")
    }
}
