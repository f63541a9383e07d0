package svoykrug.client.example

import kotlinx.coroutines.runBlocking
import svoykrug.auth.v1.completeSignInRequest
import svoykrug.client.SvoyKrugClient
import svoykrug.users.v1.ConsentKind
import svoykrug.users.v1.consentGrant
import svoykrug.users.v1.getMeRequest

fun main(arguments: Array<String>): Unit = runBlocking {
    SvoyKrugClient(arguments.firstOrNull() ?: "127.0.0.1:50051", insecure = true).use { client ->
        val challenge = client.startSignIn("+7 999 123-45-67")
        print("code: ")
        client.completeSignIn(
            completeSignInRequest {
                challengeId = challenge.challengeId
                code = readln()
                consents += listOf(ConsentKind.CONSENT_KIND_TERMS, ConsentKind.CONSENT_KIND_PERSONAL_DATA).map {
                    consentGrant {
                        kind = it
                        version = "2026-11"
                        granted = true
                    }
                }
            },
        )
        println(client.users.getMe(getMeRequest {}).user.phone)
    }
}
