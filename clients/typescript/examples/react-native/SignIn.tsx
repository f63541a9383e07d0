import { type Client, ErrorReason, SvoyKrugError } from "@svoykrug/client";
import type { Challenge } from "@svoykrug/client/svoykrug/auth/v1/auth_service_pb";
import { ConsentKind } from "@svoykrug/client/svoykrug/users/v1/user_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { useState } from "react";
import { Button, Text, TextInput, View } from "react-native";

const CONSENTS = [ConsentKind.TERMS, ConsentKind.PERSONAL_DATA].map((kind) => ({
  kind,
  version: "2026-11",
  granted: true,
}));

/** Asks for a phone, then for its code, then greets; a failure is shown in her language. */
export function SignIn({ client }: { client: Client }) {
  const [typed, setTyped] = useState("");
  const [challenge, setChallenge] = useState<Challenge>();
  const [shown, setShown] = useState("");

  async function go(): Promise<void> {
    try {
      if (challenge === undefined) {
        setChallenge(await client.startSignIn(typed));
        setTyped("");
        return;
      }
      await client.completeSignIn(challenge, typed, { consents: CONSENTS, deviceName: "phone" });
      const { user } = await client.of(UsersService).getMe({});
      setShown(user?.displayName ?? "");
    } catch (error) {
      if (!(error instanceof SvoyKrugError)) {
        throw error;
      }
      setShown(error.text);
      if (error.reason === ErrorReason.CHALLENGE_OVER) {
        setChallenge(undefined);
      }
    }
  }

  return (
    <View>
      <Text>{challenge ? "Код из SMS" : "Телефон"}</Text>
      <TextInput value={typed} onChangeText={setTyped} keyboardType="phone-pad" textContentType="oneTimeCode" />
      <Button title="Дальше" onPress={() => void go()} />
      <Text>{shown}</Text>
    </View>
  );
}
